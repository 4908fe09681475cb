// Package ldap asks a real directory, OpenLDAP of Debian: whole, stopped, frozen, with a
// password policy and with limits; and signs in to a whole server whose people it knows.
package ldap
