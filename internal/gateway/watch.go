package gateway

import (
	"time"

	"brokerd/internal/shmring"
)

// How the gateway hears of records that local producers publish. Readers that
// wait for some are put into a door: its goroutine sleeps on all of their rings at
// once, and when it is woken it moves what is there into the sockets itself, so
// that from publish to socket it takes one wake-up. A reader that has records and
// cannot send them, for want of credit or because the socket takes no more, is
// taken out of its door: an ack or the socket will move it. With busy_poll there
// are no doors, the loop asks every reader each time around.

// doorSleepMax is the longest a door sleeps.
const doorSleepMax = 10 * time.Second

// watched is a reader that is put into a door while it waits for records.
type watched struct {
	reader *shmring.Consumer
	news   func()   // called with the lock held when there may be some
	door   *doorway // nil while it is in none
}

// leave takes the reader out of its door, if it is in one.
func (w *watched) leave() {
	if w.door != nil {
		w.door.door.Remove(w.reader)
		delete(w.door.inside, w)
		w.door = nil
	}
}

// doorway is a door and who is in it.
type doorway struct {
	g      *Gateway
	door   *shmring.Door
	inside map[*watched]struct{}
}

// watch puts the readers of a connection that wait for records into a door, and
// takes out those that wait for something else.
func (c *conn) watch() {
	if len(c.exports) == 0 || c.g.settings.BusyPoll || c.gone || c.g.ending {
		return
	}
	drained := len(c.link.Output()) == 0
	for _, s := range c.link.Streams() {
		x := c.exports[s.Stream]
		switch {
		case x == nil:
		case drained && s.Dry:
			c.g.listenTo(&x.watch)
		default:
			x.watch.leave()
		}
	}
}

// listenTo puts a reader into the first door that has room.
func (g *Gateway) listenTo(w *watched) {
	if w.door != nil || g.settings.BusyPoll || g.ending {
		return
	}
	d := g.roomyDoor()
	if d.door.Add(w.reader) != nil {
		return // cannot be: there is room. The sweep asks the reader now and then
	}
	w.door = d
	d.inside[w] = struct{}{}
}

func (g *Gateway) roomyDoor() *doorway {
	for _, d := range g.doors {
		if len(d.inside) < shmring.DoorRingsMax {
			return d
		}
	}
	d := &doorway{g: g, door: shmring.NewDoor(), inside: map[*watched]struct{}{}}
	g.doors = append(g.doors, d)
	g.joined.Go(d.keep)
	return d
}

// keep is the goroutine of a door, until the gateway ends.
func (d *doorway) keep() {
	mu := &d.g.loop.mu
	mu.Lock()
	defer mu.Unlock()
	for !d.g.ending {
		quiet := d.door.Arm()
		mu.Unlock() // also when there is news: others want the lock, too
		if quiet {
			d.door.Sleep(doorSleepMax)
		}
		mu.Lock()
		d.door.Disarm()
		d.pump()
	}
}

// pump moves what the readers in the door have.
func (d *doorway) pump() {
	d.g.round++
	for w := range d.inside { // which takes readers out
		if !d.g.ending {
			w.news()
		}
	}
}

// news of an export is for all of its connection, once a round.
func (x *export) news() {
	if c := x.conn; c.pumped != c.g.round {
		c.pumped = c.g.round
		c.pump()
	}
}

// pump sends what the readers of a connection have.
func (c *conn) pump() {
	if c.push() && len(c.link.Output()) > 0 { // the socket takes no more
		c.watch()
	}
}

// beforeSleep is called by the loop each time around.
func (g *Gateway) beforeSleep(int64) (busy bool) {
	if g.settings.BusyPoll {
		for c := range g.conns {
			if len(c.exports) > 0 {
				c.pump()
			}
		}
		for _, f := range g.feeds {
			f.poll()
		}
	}
	return false
}
