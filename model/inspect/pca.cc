#include "model/inspect/pca.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>

#include "model/base/status_macros.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Directions beside those that are wanted, which come to rest the sooner.
constexpr int64_t kSpare = 8;
constexpr int kMaxRounds = 300;

// Dense symmetric eigenproblem by Jacobi's rotations, for the few directions that are wanted.
// `matrix` [n, n] becomes diagonal; the columns of `vectors` are the eigenvectors.
void DiagonalizeSymmetric(std::vector<double>& matrix, std::vector<double>& vectors, int64_t n) {
  vectors.assign(n * n, 0);
  for (int64_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        all += matrix[i * n + j] * matrix[i * n + j];
        if (i != j) off += matrix[i * n + j] * matrix[i * n + j];
      }
    }
    if (off <= 1e-30 * all) return;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double apq = matrix[p * n + q];
        if (apq == 0) continue;
        const double theta = (matrix[q * n + q] - matrix[p * n + p]) / (2 * apq);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        const auto rotate = [&](double& a, double& b) {
          const double old = a;
          a = c * old - s * b;
          b = s * old + c * b;
        };
        for (int64_t k = 0; k < n; ++k) rotate(matrix[k * n + p], matrix[k * n + q]);
        for (int64_t k = 0; k < n; ++k) rotate(matrix[p * n + k], matrix[q * n + k]);
        for (int64_t k = 0; k < n; ++k) rotate(vectors[k * n + p], vectors[k * n + q]);
      }
    }
  }
}

// Makes the k rows of `basis` [k, n] orthonormal; a row that depends on earlier ones becomes 0.
void Orthonormalize(std::vector<double>& basis, int64_t k, int64_t n) {
  for (int64_t i = 0; i < k; ++i) {
    double* const row = basis.data() + i * n;
    const double before = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    for (int pass = 0; pass < 2; ++pass) {  // once more against cancellation
      for (int64_t j = 0; j < i; ++j) {
        const double* const other = basis.data() + j * n;
        const double dot = std::inner_product(row, row + n, other, 0.0);
        for (int64_t d = 0; d < n; ++d) row[d] -= dot * other[d];
      }
    }
    const double length = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    const double factor = length > 1e-12 * before ? 1 / length : 0;
    for (int64_t d = 0; d < n; ++d) row[d] *= factor;
  }
}

// A table of centred rows, [rows, cols].
struct Centred {
  int64_t rows, cols;
  std::vector<double> values;
};

Centred Centre(ConstMatrixRef x) {
  Centred table{x.rows, x.cols, std::vector<double>(x.rows * x.cols)};
  for (int64_t c = 0; c < x.cols; ++c) {
    double sum = 0;
    for (int64_t r = 0; r < x.rows; ++r) sum += x.Row(r)[c];
    for (int64_t r = 0; r < x.rows; ++r) {
      table.values[r * x.cols + c] = x.Row(r)[c] - sum / static_cast<double>(x.rows);
    }
  }
  return table;
}

// projected [k, rows] = basis [k, cols] X^T, and back: basis = projected X.
void Project(const Centred& x, const std::vector<double>& basis, int64_t k,
             std::vector<double>& projected) {
  projected.assign(k * x.rows, 0);
  ParallelBlocks(x.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const double* row = x.values.data() + r * x.cols;
      for (int64_t i = 0; i < k; ++i) {
        projected[i * x.rows + r] =
            std::inner_product(row, row + x.cols, basis.data() + i * x.cols, 0.0);
      }
    }
  });
}
void ProjectBack(const Centred& x, const std::vector<double>& projected, int64_t k,
                 std::vector<double>& basis) {
  basis.assign(k * x.cols, 0);
  ParallelFor(k, true, [&](int64_t i) {
    double* const out = basis.data() + i * x.cols;
    for (int64_t r = 0; r < x.rows; ++r) {
      const double weight = projected[i * x.rows + r];
      const double* row = x.values.data() + r * x.cols;
      for (int64_t c = 0; c < x.cols; ++c) out[c] += weight * row[c];
    }
  });
}

// Turns the rows of `projected` and of `basis` to the directions of the largest variance within
// their span, the largest first. Returns the variances, times the rows.
std::vector<double> TurnToAxes(std::vector<double>& projected, std::vector<double>& basis,
                               int64_t k) {
  const int64_t rows = static_cast<int64_t>(projected.size()) / k;
  const int64_t cols = static_cast<int64_t>(basis.size()) / k;
  std::vector<double> gram(k * k), vectors;
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      gram[i * k + j] =
          std::inner_product(projected.data() + i * rows, projected.data() + (i + 1) * rows,
                             projected.data() + j * rows, 0.0);
    }
  }
  DiagonalizeSymmetric(gram, vectors, k);
  std::vector<int64_t> order(k);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return gram[a * k + a] > gram[b * k + b]; });
  const auto turn = [&](std::vector<double>& matrix, int64_t n) {
    std::vector<double> turned(matrix.size());
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < k; ++j) {
        const double weight = vectors[j * k + order[i]];
        for (int64_t c = 0; c < n; ++c) turned[i * n + c] += weight * matrix[j * n + c];
      }
    }
    matrix = std::move(turned);
  };
  turn(projected, rows);
  turn(basis, cols);
  std::vector<double> variances;
  for (int64_t i : order) variances.push_back(std::max(gram[i * k + i], 0.0));
  return variances;
}

// A start that no data set is orthogonal to by design, the same for all.
std::vector<double> StartingBasis(int64_t k, int64_t n) {
  std::vector<double> basis(k * n);
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (double& value : basis) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
    value = static_cast<double>(state >> 11) / 9007199254740992.0 - 0.5;
  }
  return basis;
}

}  // namespace

// Subspace iteration with a few directions to spare; stops when the variances stand still.
absl::StatusOr<PrincipalComponents> Pca(ConstMatrixRef x, int dimensions, const StopSignal* stop) {
  const Centred table = Centre(x);
  const double total =
      std::inner_product(table.values.begin(), table.values.end(), table.values.begin(), 0.0);
  const int64_t k = std::min<int64_t>(dimensions + kSpare, x.cols);
  std::vector<double> basis = StartingBasis(k, x.cols), projected, variances;
  for (int round = 0; round < kMaxRounds; ++round) {
    HEED_RETURN_IF_ERROR(CheckStop(stop));
    Orthonormalize(basis, k, x.cols);
    Project(table, basis, k, projected);
    const std::vector<double> before = std::exchange(variances, TurnToAxes(projected, basis, k));
    double moved = before.empty() ? total : 0;
    for (int64_t i = 0; i < std::min<int64_t>(dimensions, before.size()); ++i) {
      moved = std::max(moved, std::abs(variances[i] - before[i]));
    }
    if (moved <= 1e-14 * total) break;
    ProjectBack(table, projected, k, basis);
  }
  PrincipalComponents components;
  components.coordinates.resize(x.rows * dimensions);
  for (int i = 0; i < dimensions; ++i) {
    const double variance = i < k ? variances[i] : 0;
    components.explained.push_back(total > 0 ? variance / total : 0);
    if (i >= k) continue;
    const double* const axis = basis.data() + i * x.cols;
    const double largest = *std::max_element(
        axis, axis + x.cols, [](double a, double b) { return std::abs(a) < std::abs(b); });
    for (int64_t r = 0; r < x.rows; ++r) {
      components.coordinates[r * dimensions + i] =
          static_cast<float>(largest < 0 ? -projected[i * x.rows + r] : projected[i * x.rows + r]);
    }
  }
  return components;
}

// Of a round: there and back through the rows, and what is done to the basis and its image.
double PcaFlops(int64_t rows, int64_t width, int dimensions) {
  const double n = static_cast<double>(rows), d = static_cast<double>(width);
  const double k = static_cast<double>(std::min<int64_t>(dimensions + kSpare, width));
  return kMaxRounds * (4 * n * d * k + 6 * k * k * (n + d));
}

}  // namespace heed
