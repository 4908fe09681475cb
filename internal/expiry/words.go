package expiry

import (
	"fmt"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
)

func ownerSubject(e accounts.Ending, s Step) string {
	if s == StepEnded {
		return fmt.Sprintf("A certificate of %s has ended", e.Account)
	}
	return fmt.Sprintf("A certificate of %s ends on %s", e.Account, e.At.UTC().Format(time.DateOnly))
}

// ownerText asks for nothing that a forged letter would ask for: no password, no page.
func ownerText(e accounts.Ending, s Step, now time.Time) string {
	if s == StepEnded {
		return fmt.Sprintf("The certificate with which %s signed in as %s ended at %s.\n%s", e.Name,
			e.Account, e.At.UTC().Format(time.RFC3339), ask)
	}
	return fmt.Sprintf("The certificate with which %s signs in as %s ends at %s, %s.\nFrom then on it opens nothing.\n%s",
		e.Name, e.Account, e.At.UTC().Format(time.RFC3339), within(e.At.Sub(now)), ask)
}

const ask = "\nAsk whoever administers this mail server for a new one. It comes as a file, with its\npassphrase by another way. You need not tell anybody a password, nor open any page.\n"

func authoritySubject(s Step) string {
	if s == StepEnded {
		return "The authority for certificates of devices has ended"
	}
	return fmt.Sprintf("The authority for certificates of devices ends within %d days", s)
}

func authorityText(a ca.Authority, now time.Time) string {
	return fmt.Sprintf("%s ends at %s, %s.\nA certificate that it signs ends with it at the latest.\n\nWhat next:\n  sallyport cert ca rollover\nand export it again to programs that trust it: see docs/certificates.md, \"The authority\".\n",
		a.Certificate.Subject.CommonName, a.Certificate.NotAfter.UTC().Format(time.RFC3339), within(a.Certificate.NotAfter.Sub(now)))
}

func within(left time.Duration) string {
	switch days := int((left + day - 1) / day); {
	case left <= 0:
		return "which is over"
	case days == 1:
		return "within a day"
	default:
		return fmt.Sprintf("in %d days", days)
	}
}
