// Package ldap asks an LDAP directory (RFC 4511) who its people are and whether a password is
// theirs.
//
// It promises that nothing but result 49 is taken for a wrong password: every other error,
// an answer that is cut midway among them, means that nobody can tell. Searches and
// passwords go over connections apart, each question has a time limit, and a connection is
// closed after every error but 49, since an answer that comes late may still take effect on
// it. What is put into a filter or a distinguished name is escaped by its type. An entry
// counts for an address only if one of its own values is that address as this server
// compares addresses: a directory compares otherwise. Two entries of one address are a
// fault, and a list is whole or there is none. Connections, waiting questions, entries and
// octets are bounded.
package ldap
