package settings

import (
	"errors"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// Each says of every fault of a kind that an error joins where it stands.
func Each[F error](err error, stands func(F) error) error {
	var errs []error
	joined, several := err.(interface{ Unwrap() []error })
	if !several {
		if f, ok := err.(F); ok {
			return stands(f)
		}
		return err
	}
	for _, one := range joined.Unwrap() {
		errs = append(errs, Each(one, stands))
	}
	return errors.Join(errs...)
}

// Faults returns every fault that an error joins, of a configuration that was read or of a
// server that was built with one.
func Faults(err error) []operate.ReloadFault {
	var out []operate.ReloadFault
	// What is joined is taken apart first: a search through it would find the first of a kind.
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			out = append(out, Faults(one)...)
		}
		return out
	}
	var faults config.Faults
	var fault config.Fault
	var entries directory.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			out = append(out, faultOf(f))
		}
		return out
	case errors.As(err, &entries):
		for _, f := range entries {
			out = append(out, operate.ReloadFault{Message: f.Text})
		}
		return out
	case errors.As(err, &fault):
		return []operate.ReloadFault{faultOf(fault)}
	}
	return []operate.ReloadFault{{Message: strings.TrimSpace(err.Error())}}
}

// Naming is what a configuration says of addresses that are meant, a line each with where it
// stands.
func Naming(cfg config.Config, meant func(mail.Address) bool) (lines []string) {
	for _, f := range cfg.Naming(meant) {
		lines = append(lines, f.Error())
	}
	return lines
}

func faultOf(f config.Fault) operate.ReloadFault {
	return operate.ReloadFault{Position: f.Position.String(), Text: f.Text, Message: f.Message, Hint: f.Hint, Excerpt: f.Excerpt()}
}
