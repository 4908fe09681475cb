package survey

import (
	"time"

	"sallyport/internal/certificate"
	"sallyport/internal/config"
)

// CertificateWarning says what an operator should know of the certificate that the files of
// a configuration hold, such as that it expired; "": nothing, or there is none.
func CertificateWarning(cfg config.Config, now time.Time) string {
	if held := certificate.Hold(cfg.TLS.Cert, cfg.TLS.Key); held != nil {
		return certificate.Warning(held.Pair.Leaf, cfg.Hostname, now)
	}
	return ""
}
