package survey

import (
	"context"

	"sallyport/internal/config"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

// Directory makes the directory of a configuration, without running it, and
// proves it closed. What is stored beside it, stored tells; nil: nothing is. The error
// says what does not go together, or who could relay, and how it is mended.
func Directory(ctx context.Context, cfg config.Config, stored *operate.Client) (book.Judged, error) {
	st, err := settings.Stated(cfg)
	if err != nil {
		return book.Judged{}, err
	}
	var entries []roster.Stored
	var accounts []mail.Address
	if stored != nil {
		if entries, accounts, err = stored.Stored(ctx); err != nil {
			return book.Judged{}, err
		}
	}
	s, err := roster.Import(entries)
	if err != nil {
		return book.Judged{}, err
	}
	judged, err := st.Judge(s, accounts)
	if err != nil {
		return judged, err
	}
	networks, err := Networks(cfg)
	judged.Proof.Addresses, judged.Proof.Classes = judged.Proof.Addresses+networks.Addresses, judged.Proof.Classes+networks.Classes
	return judged, err
}
