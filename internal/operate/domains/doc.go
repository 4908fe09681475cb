// Package domains is what an operator can do with our domains and the addresses in them: domains,
// aliases, forwards, delegates and contacts, and the review of what accounts send as.
package domains
