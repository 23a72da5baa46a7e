package gateway

import (
	"errors"
	"fmt"
	"slices"
)

// startFeeds begins the feeds of the configuration.
func (g *Gateway) startFeeds(s Settings) error {
	for _, want := range s.Feeds {
		f, err := g.newFeed(want)
		if err != nil {
			return err
		}
		g.feeds = append(g.feeds, f)
	}
	return nil
}

// applyFeeds ends the feeds that have left the configuration or changed in it, and
// begins those that are new. When one of these cannot listen nothing has changed.
func (g *Gateway) applyFeeds(s Settings) (changed []string, err error) {
	var kept, gone, added []*feed
	for _, f := range g.feeds {
		if slices.Contains(s.Feeds, f.want) {
			kept = append(kept, f)
			continue
		}
		gone = append(gone, f)
		if f.listener != nil { // its successor may want the address
			f.listener.close()
		}
	}
	for _, want := range s.Feeds {
		if slices.ContainsFunc(kept, func(f *feed) bool { return f.want == want }) {
			continue
		}
		f, err := g.newFeed(want)
		if err != nil {
			return nil, errors.Join(err, undo(gone, added))
		}
		added = append(added, f)
		changed = append(changed, fmt.Sprintf("feed %s was started", want.Name))
	}
	for _, f := range gone {
		f.drop(errors.New("the configuration no longer has this feed, or has changed it"))
		changed = append(changed, fmt.Sprintf("feed %s was stopped", f.want.Name))
	}
	g.feeds = append(kept, added...)
	return changed, nil
}

// undo is for feeds that were begun in vain, and those that have stopped listening
// for them.
func undo(gone, added []*feed) (err error) {
	for _, f := range added {
		f.drop(errors.New("the configuration was refused"))
	}
	for _, f := range gone {
		if f.listener != nil {
			err = errors.Join(err, f.listen(f.listener.addr()))
		}
	}
	return err
}
