package watching

import (
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/hijack"
)

// What the configuration says of watching arrives.
func TestSettings(t *testing.T) {
	cfg := config.Config{}
	cfg.Hijack.Odds = 4711
	for _, mode := range hijack.Modes() {
		cfg.Hijack.Mode = mode
		if got := settingsOf(cfg); got.Mode != mode || got.Params != cfg.Hijack.Params() || got.Params == (config.Config{}).Hijack.Params() {
			t.Errorf("%v: %+v", mode, got)
		}
	}
}
