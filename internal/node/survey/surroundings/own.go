package surroundings

import (
	"time"

	"sallyport/internal/config"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate/doctor"
)

// examineReturnPath says how far the signing of return paths has come.
func examineReturnPath(cfg config.Config, now time.Time) []doctor.Finding {
	r, err := survey.ReturnPath(cfg)
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

// examineBinding says so to the doctor.
func examineBinding(cfg config.Config) []doctor.Finding {
	f := doctor.Finding{
		Check: "sender binding", Subject: "submission.sender_binding", State: doctor.Fine,
		What: "accounts send as what is theirs, and as nobody else",
	}
	if w := survey.BindingWarning(cfg); w != "" {
		f.State, f.What, f.Remedy = doctor.Warning, w, "review what it would refuse (sallyport binding ls), grant what is right (sallyport binding grant), and set it to \"enforce\""
	}
	return []doctor.Finding{f}
}
