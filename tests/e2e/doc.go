// Package e2e tests the built brokerd and brokerctl together, as their users
// meet them: real processes that are stopped, killed and restarted, a whole
// recorded feed, other users of the host, a full tmpfs, a hostile client.
//
// It owns no code but tests. Every test has a private socket, ring directory
// and configuration below /dev/shm. Processes that must be somebody else, or
// must be killed, are this test binary again with a role (role_test.go). It
// distrusts the machine: every wait has an end, and what is promised in
// milliseconds is measured and logged.
package e2e
