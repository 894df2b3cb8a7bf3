cimport cython
from proxy.shm.mixing cimport hash_words, mix
