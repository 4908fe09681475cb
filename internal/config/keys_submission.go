package config

import "sallyport/internal/bind"

// Submission says how what our own people hand in is judged, on the submission doors and by
// the sendmail command.
type Submission struct {
	SenderBinding bind.Mode
}

func submissionKeys() []entry[Submission] {
	return []entry[Submission]{
		parsed(Key{Path: "submission.sender_binding", Type: TypeChoice, Default: "enforce",
			Doc: `What becomes of mail whose envelope sender or author is not an address of the account that ` +
				`hands it in: "enforce" refuses it; "report" takes it where the name is of a domain of ` +
				`ours, for the time in which an organisation finds out who sends as whom. The message then ` +
				`leaves with the account's own address as its return path and in a Sender field, bears no ` +
				`DKIM signature but one of the account's own domain, and sallyport binding ls shows what ` +
				`would have been refused. Names that are not ours, and authors that cannot be told for ` +
				`certain, are refused in either case. Anybody with an account can write as anybody else of ` +
				`yours while it is on: turn it off soon. See docs/guides/sender-binding.md.`},
			parseBinding, func(s *Submission) *bind.Mode { return &s.SenderBinding }),
	}
}

func parseBinding(text string) (m bind.Mode, message, hint string) {
	m, ok := bind.ParseMode(text)
	if !ok {
		return m, "this is no way of binding senders", `write "enforce" or "report"`
	}
	return m, "", ""
}
