// Copies between arrays of any strides.
//
// Bytes: each element is read and written once. The elements are moved as whole numbers of their size, so one instance
// serves all types of that size. Neighbouring threads take neighbouring elements of the destination's last axis.
#include "common.cuh"

constexpr int AXES = 8;

// Shape and strides in elements, of the axes that are left when neighbours that lie one after another are merged.
struct Strided {
    int64 shape[AXES], from[AXES], to[AXES];
    int axes;
};

template <class T>
__global__ void copy_strided(const T *from, T *to, Strided layout, int64 count) {
    for (int64 i = first_item(); i < count; i += all_threads()) {
        int64 rest = i, source = 0, destination = 0;
        for (int axis = layout.axes - 1; axis >= 0; --axis) {
            int64 place = rest % layout.shape[axis];
            rest /= layout.shape[axis];
            source += place * layout.from[axis];
            destination += place * layout.to[axis];
        }
        to[destination] = from[source];
    }
}
