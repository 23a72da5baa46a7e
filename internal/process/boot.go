package process

import (
	"fmt"
	"os"
	"strings"
)

// Boot returns the name that the kernel has given to this boot: 36 bytes, another
// one each time. What an ID means ends with it.
func Boot() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this boot from others: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
