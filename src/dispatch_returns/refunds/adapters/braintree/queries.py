"""What is asked of Braintree's GraphQL API.

Source: https://developer.paypal.com/braintree/graphql/reference
"""

from __future__ import annotations

_REFUND = "id legacyId createdAt status orderId amount { value currencyCode }"
_OF = "refundedTransaction { id legacyId }"

PING = "query { ping }"
GLOBAL_ID = "query ($id: ID!) { idFromLegacyId(legacyId: $id, type: TRANSACTION) }"
TRANSACTION = f"""
query ($id: ID!) {{
  node(id: $id) {{
    ... on Transaction {{
      id legacyId createdAt status orderId amount {{ value currencyCode }}
      refunds {{ {_REFUND} }}
    }}
  }}
}}
"""
REFUND = f"""
mutation ($input: RefundTransactionInput!) {{
  refundTransaction(input: $input) {{ refund {{ {_REFUND} }} }}
}}
"""
REVERSE = f"""
mutation ($input: ReverseTransactionInput!) {{
  reverseTransaction(input: $input) {{
    reversal {{ __typename ... on Transaction {{ id status }} ... on Refund {{ {_REFUND} }} }}
  }}
}}
"""
SEARCH = f"""
query ($input: RefundSearchInput!, $after: String) {{
  search {{
    refunds(input: $input, first: 50, after: $after) {{
      pageInfo {{ hasNextPage endCursor }}
      edges {{ node {{ {_REFUND} {_OF} }} }}
    }}
  }}
}}
"""
