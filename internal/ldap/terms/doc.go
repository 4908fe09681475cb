// Package terms has the parts of LDAP queries as types: attribute names, filters and distinguished
// names. Each is a type that only its parser and its constructors make, so that a value can become
// part of neither the structure of a filter (RFC 4515) nor that of a name (RFC 4514).
package terms
