package survey

import (
	"sallyport/internal/config"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/risk"
	"sallyport/internal/node/settings"
)

// Risk is what of a configuration is closed and yet worth knowing.
type Risk struct {
	At   string `json:"at"` // where it stands, or the command that made it
	Text string `json:"text"`
	Hint string `json:"hint"`
}

// Risks names what of a configuration, and of what is stored beside it, has cost others dearly, and what of it can do
// nothing, since the account that it names is none.
func Risks(cfg config.Config, judged book.Judged) ([]Risk, error) {
	st, err := settings.Stated(cfg)
	if err != nil {
		return nil, err
	}
	var all []Risk
	for _, r := range risk.Of(judged.Config, cfg.TrustedNetworks()) {
		at, stated := st.Where(r.About)
		if !stated {
			at = where(cfg, st.Where, r.About) + " " + r.About.Name
		}
		all = append(all, Risk{At: at, Text: r.Text, Hint: r.Hint})
	}
	return append(all, unable(cfg, judged)...), nil
}
