package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/mail"
)

// Stated is what a configuration states of the directory.
func Stated(cfg config.Config) (book.Stated, error) {
	full, err := cfg.FullDirectory()
	st := book.Stated{
		Config: full, Ways: map[mail.Domain]string{}, Domain: config.DirectoryDomain,
		Where: func(s directory.Subject) (string, bool) {
			at, ok := cfg.Where(s)
			return at.String(), ok
		},
		Way: func(text string) (string, error) {
			d, err := config.ParseDelivery(text)
			return d.String(), err
		},
	}
	for _, d := range cfg.Domains {
		st.Ways[d.Name] = d.Deliver.String()
	}
	return st, err
}
