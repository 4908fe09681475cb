package node

import (
	"time"

	"sallyport/internal/config"
	"sallyport/internal/operate/doctor"
)

// examineReturnPath says how far the signing of return paths has come.
func examineReturnPath(cfg config.Config, now time.Time) []doctor.Finding {
	r, err := ReturnPathOf(cfg)
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
