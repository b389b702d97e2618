//! Who receives what, pure: sessions, namespaces, rooms, server affinity.
