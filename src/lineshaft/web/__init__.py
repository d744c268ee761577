"""HTTP beside the protocol: what load balancers and people ask for."""
