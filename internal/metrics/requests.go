package metrics

import "sync"

// resultsMax bounds the results kept for one method; further ones are counted
// as "other". The server has fewer error names than that.
const resultsMax = 64

// other stands for every method and result that has no series of its own.
const other = "other"

// Requests counts control requests by method and result. It is safe for
// concurrent use.
type Requests struct {
	mu     sync.Mutex
	counts map[string]map[string]uint64 // method -> result -> calls
}

// NewRequests returns a counter for the given methods. A call of any other
// method is counted under the method "other", as clients choose the name.
func NewRequests(methods []string) *Requests {
	r := &Requests{counts: make(map[string]map[string]uint64, len(methods)+1)}
	for _, m := range methods {
		r.counts[m] = map[string]uint64{}
	}
	r.counts[other] = map[string]uint64{}
	return r
}

// Count adds one call of method that ended with result.
func (r *Requests) Count(method, result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	results, known := r.counts[method]
	if !known {
		results = r.counts[other]
	}
	if _, known := results[result]; !known && len(results) >= resultsMax {
		result = other
	}
	results[result]++
}

// each calls emit for every method and result seen so far.
func (r *Requests) each(emit emitter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for method, results := range r.counts {
		for result, n := range results {
			emit(float64(n), method, result)
		}
	}
}
