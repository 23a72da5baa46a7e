package configs

import _ "embed"

//go:embed brokerd.yaml
var builtin string

// Default returns the text of brokerd.yaml. The caller owns the slice.
func Default() []byte { return []byte(builtin) }
