package config

import "flag"

// update rewrites golden files and the generated part of docs/config.md.
var update = flag.Bool("update", false, "rewrite golden files")
