package node

import (
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/directory"
)

// domainOf is a domain of ours as the directory knows it, without its list.
func domainOf(d config.Domain) directory.Domain {
	out := directory.Domain{Name: d.Name, Deliver: deliverOf(d.Deliver.Kind), Postmaster: d.Postmaster}
	if !d.Deliver.Behind() {
		return out
	}
	out.Server = directory.Server{
		LMTP: d.Deliver.Kind == config.DeliverLMTP, Path: d.Deliver.Path, Host: d.Deliver.Host, Port: d.Deliver.Port,
		TLS: routeTLS(d.TLS), CA: d.CA,
	}
	out.Recipients, out.CutThrough = recipientsOf(d.Recipients), d.CutThrough
	return out
}

// readLists reads the files of recipients into the domains, which stand in the order
// of the configuration.
func readLists(cfg config.Config, domains []directory.Domain) error {
	for i, d := range cfg.Domains {
		if d.Recipients != config.RecipientsList {
			continue
		}
		list, err := config.ReadRecipients(d.RecipientsFile, d.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", cfg.At("domain."+d.Name.ASCII()+".recipients_file"), err)
		}
		domains[i].List = list
	}
	return nil
}

// deliverOf and recipientsOf map what is not known to what the directory refuses.
func deliverOf(k config.DeliveryKind) directory.Deliver {
	switch k {
	case config.DeliverMaildir:
		return directory.DeliverMaildir
	case config.DeliverLMTP:
		return directory.DeliverLMTP
	case config.DeliverSMTP:
		return directory.DeliverSMTP
	}
	return directory.DeliverUnknown
}

func recipientsOf(r config.Recipients) directory.Recipients {
	switch r {
	case config.RecipientsAccounts:
		return directory.RecipientsAccounts
	case config.RecipientsList:
		return directory.RecipientsList
	case config.RecipientsCallout:
		return directory.RecipientsCallout
	}
	return directory.RecipientsUnknown
}
