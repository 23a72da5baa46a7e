package soak

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"brokerd/tests/internal/harness"
)

// sample is what one daemon used at one moment.
type sample struct {
	at         time.Duration // since the begin
	resident   float64       // bytes
	own        float64       // bytes: without what it has touched of the rings
	heap       float64       // bytes
	files      float64
	threads    float64
	goroutines float64
}

const csvHeader = "seconds,host,rss_bytes,own_bytes,heap_bytes,fds,threads,goroutines\n"

func (s sample) csv(host string) string {
	return fmt.Sprintf("%.1f,%s,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f\n", s.at.Seconds(), host,
		s.resident, s.own, s.heap, s.files, s.threads, s.goroutines)
}

// take looks at a daemon.
func take(s *site, begin time.Time) sample {
	s.Process.T.Helper()
	values, err := s.ScrapeWith(&http.Client{Timeout: standstillMax, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		s.Process.T.Fatal(err)
	}
	u := harness.UsageOf(s.Process.T, s.PID())
	return sample{
		at:         time.Since(begin),
		resident:   float64(u.ResidentBytes),
		own:        float64(u.OwnBytes),
		heap:       values["go_memstats_heap_alloc_bytes{}"],
		files:      float64(u.Files),
		threads:    float64(u.Threads),
		goroutines: values["go_goroutines{}"],
	}
}

// bound is by how much a figure may grow in a minute.
type bound struct {
	name      string
	of        func(sample) float64
	perMinute float64
}

// bounds are above what a healthy daemon shows over five minutes, where the trend
// of a figure that goes up and down is not exactly zero, and below a leak of 30 bytes
// for each attachment: there are some 12,000 a minute.
func bounds() []bound {
	return []bound{
		{"RSS", func(s sample) float64 { return s.resident }, 256 << 10},
		{"own memory", func(s sample) float64 { return s.own }, 256 << 10},
		{"heap", func(s sample) float64 { return s.heap }, 128 << 10},
		{"descriptors", func(s sample) float64 { return s.files }, 2},
		{"threads", func(s sample) float64 { return s.threads }, 1},
		{"goroutines", func(s sample) float64 { return s.goroutines }, 2},
	}
}

// floorOf is how many samples stand for themselves by their least figure: garbage
// and attachments come and go within less, what leaks stays.
const floorOf = 10

// slope is the trend of a figure in the second half of the samples, a minute: the
// straight line through the floors that fits best.
func slope(samples []sample, of func(sample) float64) float64 {
	half := samples[len(samples)/2:]
	var x, y []float64
	for len(half) >= floorOf {
		least := half[0]
		for _, s := range half[1:floorOf] {
			if of(s) < of(least) {
				least = s
			}
		}
		x, y = append(x, half[floorOf/2].at.Minutes()), append(y, of(least))
		half = half[floorOf:]
	}
	if len(x) < 2 {
		return 0
	}
	var mx, my, sxy, sxx float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		sxy, sxx = sxy+(x[i]-mx)*(y[i]-my), sxx+(x[i]-mx)*(x[i]-mx)
	}
	return sxy / sxx
}

// judge says what grows beyond its bound, and shows all trends.
func judge(host string, samples []sample) (verdicts []string, trends string) {
	var shown []string
	for _, b := range bounds() {
		got := slope(samples, b.of)
		shown = append(shown, fmt.Sprintf("%s %+.0f", b.name, got))
		if got > b.perMinute {
			verdicts = append(verdicts, fmt.Sprintf("%s: %s grows by %.0f a minute, at most %.0f is no leak", host, b.name, got, b.perMinute))
		}
	}
	return verdicts, strings.Join(shown, ", ")
}
