// Package ca is the server's own certificate authority for the devices of its users.
//
// It promises that the private key of a device is never here: whoever wants a certificate
// shows possession of the key (PKCS #10), and of what is asked for only the public key is
// taken; that nothing it signs lets anybody in by itself, since only an enrolled key does,
// and what it signs is noted in the same act in which the key is enrolled; that the numbers
// of its revocation lists never fall; that a list names every certificate of which no
// enrolment of a live account is left, whichever way that came about; and that neither the
// loss of its own key nor a new one disturbs any enrolled key.
//
// Its private keys lie in files of the folder of keys, one for each authority that it ever
// was; certificates, and what they were given to, lie in the store. What stands in a
// certificate is decided by functions of values (template.go); CA keeps it.
package ca
