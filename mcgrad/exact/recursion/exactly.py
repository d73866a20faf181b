"""scratch"""
from .chain import Model, AT
from .polynomials import Polynomials
from .system import ordered, split
from .ring import Poly
import numpy as np
def local(model):
    """Return the gradients of one chain in the names of its own carries."""
    (stream, chain), = model.chains.items()
    tail=f"{AT}{stream}"
    rename=lambda c: c[:-len(tail)] if c.endswith(tail) else c
    out={}
    for j,g in enumerate(model.gradients):
        out[("g",j)]=split(Poly({tuple(sorted(map(rename,k))):x for k,x in g.items()}), chain.carries)
    return chain,out
def run(problem,theta,estimators):
    model=Model(problem,theta,estimators)
    chain,outs=local(model)
    E,P=len(model.names),model.parameters
    pairs=[(("g",i*P+p),("g",j*P+p)) for i in range(E) for j in range(i,E) for p in range(P)]
    first={b for o in outs.values() for b in o}
    fp={ordered(x,y) for a,g in pairs for x in outs[a] if x for y in outs[g] if y}
    space=Polynomials(chain,first,fp)
    f=space.last()
    for t in reversed(range(problem.horizon)):
        f=space.back(t,f)
    m,c=space.start(f,outs,pairs)
    mean=np.array([m[("g",j)] for j in range(E*P)]).reshape(E,P)
    cov=np.zeros((E,E,P))
    for i in range(E):
        for j in range(i,E):
            for p in range(P):
                cov[i,j,p]=cov[j,i,p]=c[("g",i*P+p),("g",j*P+p)]
    return mean,cov
