"""The API reference: the OpenAPI document made complete, and the pages drawn from it."""
