package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sallyport/internal/ca/device"
	"sallyport/internal/operate"
)

// room is what is written into a file before anything is asked for, in octets: more than any
// of the forms has, so that a full disk is noticed in time.
const room = 16 << 10

// keyFiles are files that were made for a key, by the forms that they are for.
type keyFiles map[string]*os.File

// endings of the files, by form.
func ending(form string) string {
	return map[string]string{"p12": ".p12", "pem": ".pem", "profile": ".mobileconfig"}[form]
}

// reserve makes the files of forms, for their owner alone; none of them may exist. On an error
// there are none.
func reserve(dir, base string, forms []string) (keyFiles, error) {
	all := keyFiles{}
	for _, form := range forms {
		if all[form] != nil {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, base+ending(form)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			all[form] = f
			_, err = f.Write(make([]byte, room))
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("no file can be written for the key, and none was asked for: %w", err), all.remove())
		}
	}
	return all, nil
}

func (k keyFiles) names() (all []string) {
	for _, f := range k {
		all = append(all, f.Name())
	}
	slices.Sort(all)
	return all
}

// remove closes and removes the files.
func (k keyFiles) remove() error {
	var errs []error
	for _, f := range k {
		_ = f.Close() // it is removed
		errs = append(errs, os.Remove(f.Name()))
	}
	return errors.Join(errs...)
}

// fill writes key and certificate into the files, and returns the passphrase of those that
// have one.
func (k keyFiles) fill(key device.Key, v operate.CertIssued) (passphrase string, err error) {
	id, err := device.New(key, v.Certificate)
	if err != nil {
		return "", err
	}
	if k["p12"] != nil || k["profile"] != nil {
		if passphrase, err = madePassphrase(); err != nil {
			return "", err
		}
	}
	for form, f := range k {
		content, err := formOf(form, id, passphrase, v)
		if err != nil {
			return "", err
		}
		if err := overwrite(f, content); err != nil {
			return "", err
		}
	}
	return passphrase, nil
}

func formOf(form string, id device.Identity, passphrase string, v operate.CertIssued) ([]byte, error) {
	if form == "pem" {
		return id.PEM()
	}
	p12, err := id.PKCS12(rand.Reader, passphrase)
	if err != nil || form == "p12" {
		return p12, err
	}
	return device.Profile(rand.Reader, v.Host, v.Account+" "+v.Name, p12)
}

func overwrite(f *os.File, content []byte) error {
	_, err := f.WriteAt(content, 0)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
