// Package acme obtains the server's certificate from a certificate authority and keeps
// it renewed. RFC 8555
//
// It obtains one certificate for all names, so that it is known which certificate a
// connection saw. Everything that must outlive the process (the account, its key, the
// certificate and its key) lies in the store, durably before it is used; a certificate
// and its key are one record, and so belong together always.
//
// Keys in the store begin with "acme/".
package acme
