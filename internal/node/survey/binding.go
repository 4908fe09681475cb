package survey

import (
	"sallyport/internal/bind"
	"sallyport/internal/config"
)

// BindingWarning says what an operator should know of how a configuration binds senders; "":
// nothing.
func BindingWarning(cfg config.Config) string {
	if cfg.Submission.SenderBinding == bind.Enforce {
		return ""
	}
	return "sender binding only reports: every account may write as any address of this server"
}
