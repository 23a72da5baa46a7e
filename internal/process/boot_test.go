package process

import "testing"

func TestBootIsOneForAll(t *testing.T) {
	first, err := Boot()
	if err != nil || len(first) != 36 {
		t.Fatalf("%q, %v", first, err)
	}
	if again, err := Boot(); again != first || err != nil {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
}
