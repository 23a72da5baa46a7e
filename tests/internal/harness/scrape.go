package harness

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Scrape reads /metrics: each series, its labels in the order of their names, to
// its value, such as "brokerd_ring_live{ring=md}": 1.
func (d *Daemon) Scrape() map[string]float64 {
	t := d.Process.T
	t.Helper()
	values, err := d.ScrapeWith(&http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// ScrapeWith is Scrape over connections that the caller keeps, and with its patience.
func (d *Daemon) ScrapeWith(c *http.Client) (map[string]float64, error) {
	response, err := c.Get("http://" + d.Admin() + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("/metrics does not parse: %w", err)
	}
	values := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetSummary().GetSampleCount())
		}
	}
	return values, nil
}
