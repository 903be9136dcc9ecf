// Interventions in a line, for the tests of edited runs.
#ifndef HEED_TESTS_INSPECT_EDIT_TESTING_H_
#define HEED_TESTS_INSPECT_EDIT_TESTING_H_

#include <utility>
#include <vector>

#include "model/inspect/intervention.h"

namespace heed {

inline Intervention Edit(decltype(Intervention::edit) edit, std::vector<int> layers = {},
                         std::vector<int> heads = {}, std::vector<PositionSpan> positions = {},
                         std::vector<PositionSpan> keys = {}) {
  return {std::move(layers), std::move(heads), std::move(positions), std::move(keys),
          std::move(edit)};
}

}  // namespace heed

#endif  // HEED_TESTS_INSPECT_EDIT_TESTING_H_
