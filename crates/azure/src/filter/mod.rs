//! The OData filter language of the REST API.
