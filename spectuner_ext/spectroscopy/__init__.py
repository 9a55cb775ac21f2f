"""What is known of molecules: transitions, partition functions, names, catalogues."""
