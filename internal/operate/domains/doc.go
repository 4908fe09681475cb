// Package domains implements the operator actions on our domains and their addresses: domains,
// aliases, forwards, delegates and contacts, and the review of what accounts send as.
package domains
