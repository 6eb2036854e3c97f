//! The protocols that channels speak. Each is one module and knows no other.
