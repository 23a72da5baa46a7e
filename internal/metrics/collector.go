package metrics

import (
	"fmt"
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesMax bounds the scrapes served at once; a further one gets a 503.
const scrapesMax = 4

// Options of a Handler. All fields are needed.
type Options struct {
	Version  string
	Source   Source
	Requests *Requests
	// ErrorLog is told of values that could not be shown. The rest of the
	// scrape is served all the same.
	ErrorLog *log.Logger
}

// Handler serves every metric of the table, and those of the Go runtime and of
// the process, in the formats Prometheus asks for.
func Handler(o Options) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newCollector(o),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            o.ErrorLog,
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesMax,
	}), nil
}

// collector reads one Snapshot a scrape and turns it into the table's metrics.
type collector struct {
	options  Options
	families []family
	descs    []*prometheus.Desc // of families, in the same order
}

func newCollector(o Options) *collector {
	c := &collector{options: o, families: table()}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		descs <- d
	}
}

// Collect implements prometheus.Collector. When the source fails, the scrape
// has one error and no figure of brokerd, rather than stale or zero ones.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	snapshot, err := c.options.Source()
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.descs[0], err)
		return
	}
	v := view{Snapshot: snapshot, version: c.options.Version, requests: c.options.Requests}
	for i, f := range c.families {
		desc := c.descs[i]
		f.read(v, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(desc, f.kind, value, labels...)
			if err != nil { // a label that is not UTF-8, or a row of the table that is wrong
				m = prometheus.NewInvalidMetric(desc, err)
			}
			out <- m
		})
	}
}
