package survey

import (
	"time"

	"sallyport/internal/config"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/returnpath"
)

// examineReturnPath says how far the signing of return paths has come.
func examineReturnPath(cfg config.Config, now time.Time) []doctor.Finding {
	r, err := ReturnPath(cfg)
	f := doctor.Finding{Check: "return paths", Subject: "return_path.sign", State: doctor.Fine}
	switch {
	case err != nil:
		f.State, f.What, f.Remedy = doctor.Wrong, err.Error(), "put the file back from a backup, or remove it"
	case r == nil:
		return nil
	default:
		f.What = "return paths " + r.Words(now)
		if r.Since.IsZero() || now.Before(r.RefusesFrom) {
			f.State = doctor.Note
		}
	}
	return []doctor.Finding{f}
}

// ReturnPath reads how far the signing of return paths has come; nil: none are signed.
func ReturnPath(cfg config.Config) (*operate.ReturnPath, error) {
	rules := settings.ReturnRules(cfg)
	if rules.Mode == returnpath.ModeOff {
		return nil, nil
	}
	var err error
	rules.Since, err = returnpath.NoteIn(cfg.KeysDir()).Read()
	return &operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: rules.Since, RefusesFrom: rules.RefusesFrom()}, err
}
