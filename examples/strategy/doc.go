// Command strategy shows how a program uses brokerd: a feed publishes quotes, a
// strategy turns some of them into orders, a gateway writes each order down once
// and answers with a fill, and a watcher looks at the newest quote now and then.
// Each role is a process of its own:
//
//	feed --md--> trade --orders--> gateway --fills--> trade
//	       `---> watch
//
// docs/EMBEDDING.md explains it piece by piece and says how to run it. Nobody
// imports it; it uses package client and nothing else of brokerd. It distrusts
// what other processes put into the rings: a record of the wrong size is an error.
package main
