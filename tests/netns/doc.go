// Package netns holds the tests of rings across hosts: each brokerd runs in a
// network namespace of its own, joined by a bridge, and the network between them
// is cut, made to lose packets or to reset connections while the recorded feed
// runs. It needs root, ip and nft.
//
// Every reader of a mirror checks each record against the feed by its sequence
// number, and counts: delivered + gaps is the whole feed.
package netns
