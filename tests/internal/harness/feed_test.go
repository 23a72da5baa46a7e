package harness

import "testing"

// TestGeneratedFeedIsLikeTheRecording runs where the recording is there, too.
func TestGeneratedFeedIsLikeTheRecording(t *testing.T) { checkFeed(t, generatedFeed(feedSeed)) }
