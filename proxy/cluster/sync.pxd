cimport cython
from proxy.shm.mixing cimport mix
