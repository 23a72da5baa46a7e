package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// errFloor is a figure that does not reach its floor.
var errFloor = errors.New("below the floor")

// check reads the newest results and says which bars they meet. The error is errFloor where a
// floor is missed or a figure is missing.
func check(dir string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "????-??-??-gateway.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no results in %s: run make bench-gateway first", dir)
	}
	slices.Sort(files)
	path := files[len(files)-1]
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(out, "%s\n", path)
	bad := 0
	for _, res := range r.Results {
		f := res.figure()
		fmt.Fprintf(out, "%-24s %8.3g (%.3g to %.3g)  bar %s, floor %s: %s\n", res.Name, f.Median, f.Min, f.Max, res.bound(res.Bar), res.bound(res.Floor), res.verdict())
		if !res.meets(res.Floor) {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d of %d figures", errFloor, bad, len(r.Results))
	}
	return nil
}
