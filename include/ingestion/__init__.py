"""Files become raw tables: discovered, validated, staged, merged and archived, losing nothing."""
