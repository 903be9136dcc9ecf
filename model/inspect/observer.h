#ifndef HEED_MODEL_INSPECT_OBSERVER_H_
#define HEED_MODEL_INSPECT_OBSERVER_H_
#include "model/transformer/observer.h"
#endif  // HEED_MODEL_INSPECT_OBSERVER_H_
