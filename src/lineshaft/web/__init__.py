"""HTTP beside the protocol: what load balancers and people ask for.

Here at the top is what every request passes: `app` is the table of paths, `site` what all pages share, `render` and
`language` how they are written, `pace` whose turn it is, `connection` who may stay on the line; `backend` what is
needed of the server; `problem` and `failures` how it is told that something was not done.

    pages/      what people see, a module per page with what its buttons do; `/health` and `/metrics`
    api/        the HTTP API; it and the pages know nothing of each other
    lists/      which jobs and queues are meant, and how they are found
    actions/    what is done with them
    figures/    what changes with time, and how it is drawn
    access/     who comes in, what each may do, what was done

and beside them, as files: templates/, static/ (styles, scripts) and locale/ (the catalogues of texts).
"""
