package survey

import (
	"sallyport/internal/bind"
	"sallyport/internal/config"
	"sallyport/internal/operate/doctor"
)

// BindingWarning says what an operator should know of how a configuration binds senders; "":
// nothing.
func BindingWarning(cfg config.Config) string {
	if cfg.Submission.SenderBinding == bind.Enforce {
		return ""
	}
	return "sender binding only reports: every account may write as any address of this server"
}

// examineBinding says so to the doctor.
func examineBinding(cfg config.Config) []doctor.Finding {
	f := doctor.Finding{Check: "sender binding", Subject: "submission.sender_binding", State: doctor.Fine, What: "accounts send as what is theirs, and as nobody else"}
	if w := BindingWarning(cfg); w != "" {
		f.State, f.What, f.Remedy = doctor.Warning, w, "review what it would refuse (sallyport binding ls), grant what is right (sallyport binding grant), and set it to \"enforce\""
	}
	return []doctor.Finding{f}
}
