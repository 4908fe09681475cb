package config

import (
	"encoding/pem"
	"strings"

	"sallyport/internal/mail"
)

// instead is what a file holds in place of what its key of the configuration is for.
type instead int

const (
	insteadNothing   instead = iota // it holds what it should
	insteadAKey                     // a private key, where a certificate belongs
	insteadACert                    // a certificate, where a private key belongs
	insteadEncrypted                // a private key under a passphrase
	insteadBinary                   // no PEM: the octets of ASN.1, as DER and PKCS #12 are
	insteadNoCert                   // nothing that reads as a certificate
	insteadNoKey                    // nothing that reads as a private key
)

// derSequence is the octet with which DER and PKCS #12 begin.
const derSequence = 0x30

// words are the fault of a file, and what helps.
func (i instead) words(path string) (message, hint string) {
	file := mail.ShellWord(path)
	switch i {
	case insteadAKey:
		return "this file holds a private key, and no certificate", "the certificate is another file; are the two exchanged?"
	case insteadACert:
		return "this file holds a certificate, and no private key", "the private key is another file; are the two exchanged?"
	case insteadEncrypted:
		return "this private key is under a passphrase, which nobody is there to type", "umask 077; openssl pkey -in " + file + " -out NEW writes it without one; name that file"
	case insteadBinary:
		return "this file is not PEM", "openssl x509 -inform DER -in " + file + " or openssl pkey -inform DER -in " + file +
			" print DER as PEM; of a .p12 or .pfx openssl pkcs12 -in " + file + " -nokeys prints the certificates, and -nocerts -nodes the key"
	case insteadNoCert:
		return "this file holds no certificate", "certificates are PEM: -----BEGIN CERTIFICATE-----"
	case insteadNoKey:
		return "this file holds no private key", "keys are PEM: -----BEGIN PRIVATE KEY-----"
	}
	return "", ""
}

// checkKind reports a file that holds something else, and whether it did.
func (s *source) checkKind(at *node, path string, held instead) bool {
	if held == insteadNothing {
		return false
	}
	message, hint := held.words(path)
	s.faultAt(at, message, hint)
	return true
}

// certificateInstead says what a file for a certificate holds instead.
func certificateInstead(file []byte) instead {
	certs, keys, _ := pemKinds(file)
	switch {
	case certs > 0:
		return insteadNothing
	case keys > 0:
		return insteadAKey
	case len(file) > 0 && file[0] == derSequence:
		return insteadBinary
	}
	return insteadNoCert
}

// keyInstead says what a file for a private key holds instead.
func keyInstead(file []byte) instead {
	certs, keys, encrypted := pemKinds(file)
	switch {
	case keys > encrypted:
		return insteadNothing
	case encrypted > 0:
		return insteadEncrypted
	case certs > 0:
		return insteadACert
	case len(file) > 0 && file[0] == derSequence:
		return insteadBinary
	}
	return insteadNoKey
}

// pemKinds counts the certificates and private keys in a file, and how many of the keys are
// under a passphrase, in the form of today and in that of before.
func pemKinds(file []byte) (certs, keys, encrypted int) {
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return certs, keys, encrypted
		}
		switch {
		case block.Type == "CERTIFICATE":
			certs++
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			keys++
			if strings.HasPrefix(block.Type, "ENCRYPTED ") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
				encrypted++
			}
		}
	}
}
